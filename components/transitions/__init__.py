"""What is opened next: directed, decayed next-page counts."""
