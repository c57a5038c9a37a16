"""Two revisions, or two interpreters, side by side: is one slower?"""
