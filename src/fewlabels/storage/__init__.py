"""Files and folders that survive a crash, the file systems they lie on, and locks."""
