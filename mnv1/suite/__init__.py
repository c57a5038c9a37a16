"""What `pytest benchmarks` is made of; `benchmarks/conftest.py` hooks it into pytest."""
