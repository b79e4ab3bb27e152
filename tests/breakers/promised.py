from plain import Plain

import mhsa


class NeverRead(mhsa.Adapter):
    contract = mhsa.Contract(masked="never-read")

    def build(self, head, d_model):
        return Plain(head, d_model, 0.0)
