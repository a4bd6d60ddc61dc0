"""The whole pipeline behind one object: detect, analyze, verify, enroll, identify.

``recognizer.py`` holds the calls, ``pipeline.py`` the way from an image to its templates, ``outcomes.py`` what
became of each image, ``settings.py`` the settings. It wires parts together and names no model of its own.
"""

from mien.recognizer.outcomes import FaceChoice, Outcome, one_face
from mien.recognizer.pipeline import Pipeline
from mien.recognizer.recognizer import OnError, Recognizer
from mien.recognizer.settings import Settings

__all__ = ["FaceChoice", "OnError", "Outcome", "Pipeline", "Recognizer", "Settings", "one_face"]
