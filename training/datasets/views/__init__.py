"""Views cut from images: crops, focal lengths, augmentation."""
