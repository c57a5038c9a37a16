"""MobileNetV1: its architecture as data, the module, closed-form counts, weights from elsewhere, folding and export."""
