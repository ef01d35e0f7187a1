"""What is pushed to a node: journal first, warm workers, signed reports, gone when there is no work.

Standard library only, Python >= 3.6; imports nothing outside itself.
"""
