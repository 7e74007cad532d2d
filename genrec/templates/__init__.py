"""What ``genrec new`` copies: a working plug-in of each kind, in as few lines as it takes. Nothing here is used by genrec."""
