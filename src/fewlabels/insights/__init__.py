"""What a report shows of single rows: computing it, and how it is kept in a run folder."""
