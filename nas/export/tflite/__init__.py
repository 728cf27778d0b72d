"""TensorFlow Lite files: written in another environment, run by LiteRT's interpreter."""
