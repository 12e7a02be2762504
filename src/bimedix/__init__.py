"""bimedix: from English medical records to a verified, evaluated bilingual medical language model."""

__version__ = "0.1.0"
