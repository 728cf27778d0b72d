"""Given to a Python that has LiteRT: runs a TensorFlow Lite file that a stranger may have written.

Native code reads such a file, so it has a process of its own, of bounded memory. On standard input come the bytes of
the file and then image after image, on standard output go the logits of each, float32. Arguments: how many bytes the
file and an image have, the most bytes of memory, and threads of the CPU.
"""

import sys


def main(size: str, image: str, memory: str, threads: str) -> None:
    """Answer each image with its logits, until there are no more."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    except ImportError:  # Windows has no such limit
        pass
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_content=sys.stdin.buffer.read(int(size)), num_threads=int(threads))
    network.allocate_tensors()
    (given,), (made,) = network.get_input_details(), network.get_output_details()
    while content := sys.stdin.buffer.read(int(image)):
        network.set_tensor(given["index"], np.frombuffer(content, np.float32).reshape(given["shape"]))
        network.invoke()
        sys.stdout.buffer.write(network.get_tensor(made["index"]).tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
