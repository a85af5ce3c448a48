"""Papers in the stock admin."""

from django.contrib import admin

from tests.compat.site.papers.models import Paper

admin.site.register(Paper)
