"""lfic: a face codec for machines that recognise faces and for people who look at them."""
__version__ = "0.1.0"
