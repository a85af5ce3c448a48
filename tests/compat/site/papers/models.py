"""Something to upload."""

from django.db import models


class Paper(models.Model):
    """A title and a file."""

    title = models.CharField(max_length=200)
    file = models.FileField(upload_to="papers")

    def __str__(self) -> str:
        """What the admin's list shows."""
        return self.title
