"""Time of whole modules: forward, and forward with backward.

asv imports this file from the working tree for every commit that it measures, so the project and torch are imported
in ``setup``, and a commit that lacks something raises NotImplementedError there, which asv shows as n/a.
"""

# name: (batch, length, head, d_model)
SHAPES = {"exercise": (2, 16, 4, 64), "encoder 128": (4, 128, 8, 256), "encoder 512": (1, 512, 8, 256)}


class Module:
    """One module at one shape on one device, float32, dropout 0, one thread."""

    params = (["reference", "torch.nn.MultiheadAttention"], list(SHAPES), ["cpu", "cuda"])
    param_names = ("implementation", "shape", "device")
    version = "1"  # bumped by hand when a figure would no longer be comparable
    warmup_time = 0.2
    timeout = 120

    def setup(self, implementation, shape, device):
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise NotImplementedError("no CUDA device")
        # One thread: figures on shared machines then depend on the code, not on how many cores happen to be idle.
        torch.set_num_threads(1)
        torch.manual_seed(0)
        batch, length, head, d_model = SHAPES[shape]
        if implementation == "reference":
            try:
                from mhsa import MultiHeadAttention
            except ImportError:
                raise NotImplementedError("this commit has no MultiHeadAttention") from None
            module = MultiHeadAttention(head, d_model, dropout=0.0)
            self.forward = module
        else:
            module = torch.nn.MultiheadAttention(d_model, head, batch_first=True)

            def forward(query, key, value):
                return module(query, key, value, need_weights=True, average_attn_weights=False)[0]

            self.forward = forward
        module.to(device).eval()
        self.x = torch.randn(batch, length, d_model, device=device)
        self.torch = torch
        self.wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def time_forward(self, implementation, shape, device):
        with self.torch.no_grad():
            self.forward(self.x, self.x, self.x)
        self.wait()

    def time_forward_backward(self, implementation, shape, device):
        x = self.x.requires_grad_(True)
        self.forward(x, x, x).sum().backward()
        self.wait()
