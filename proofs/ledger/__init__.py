"""What is claimed, one file per historical defect: designs and expected verdicts."""
