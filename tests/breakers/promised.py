from plain import Plain
from wrong import EverythingCut, MaskFitted

import mhsa


class NeverRead(mhsa.Adapter):
    contract = mhsa.Contract(masked="never-read")

    def build(self, head, d_model):
        return Plain(head, d_model, 0.0)


class Refusing(mhsa.Adapter):
    contract = mhsa.Contract(misfits="refused")


class Fitted(Refusing):
    def build(self, head, d_model):
        return MaskFitted(head, d_model, 0.0)


class Cut(Refusing):
    def build(self, head, d_model):
        return EverythingCut(head, d_model, 0.0)
