"""Leave the laboratory: the model folder, and ONNX graphs that other programs run."""
