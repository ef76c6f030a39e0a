"""The base of all parts of the configuration. Pure."""

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from tasks.domain.models import Model


class Section(Model):
    model_config = ConfigDict(alias_generator=to_camel)
