"""What people look at: one template and one stylesheet for every page, and the same figures as a table in the terminal."""
