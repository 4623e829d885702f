"""What is said on other people's pages, and what looks after a model once it is published."""
