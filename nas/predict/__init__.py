"""Classes of images from an exported network, through NumPy, Pillow and onnxruntime; torch is not loaded."""
