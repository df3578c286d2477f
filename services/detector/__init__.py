"""Finding the faces in a picture, and drawing on it or hiding them."""
