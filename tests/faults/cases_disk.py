from catalogue import Family

CASES = cases = Family()
