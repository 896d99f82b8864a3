"""Image files and image tables -> squares of pixels."""
