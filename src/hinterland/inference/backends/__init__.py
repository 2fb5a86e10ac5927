"""Runtimes that compile a network for a CPU: onnxruntime and OpenVINO, from one ONNX file."""
