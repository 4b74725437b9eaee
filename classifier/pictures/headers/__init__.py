"""What a picture's header says, read without Pillow, a module a format."""
