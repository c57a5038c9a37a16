"""Judges what others published: reproduced, different and why, measured, or what is needed to tell.

No verdict is typed. A count is a closed form (`counts.py`); a reason for another figure is another count that gives it
at its rounding (`reasons.py`); a claim about time or memory is held against stored runs (`measured.py`). Needs no
torch.
"""
