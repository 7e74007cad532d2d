"""What a dataset can and cannot show, found out without training anything: floors, shortcuts, leaks, order, duplicates."""
