"""A recipe has the id of its own values, however it was made."""

from shared.messages import Payload
from shared.recipe import Mode, Recipe
from tests.support.stages import image

BOX = Recipe(model="yunet", model_version="1")
BLUR = Recipe(model="yunet", model_version="1", mode=Mode.BLUR)


def test_a_copy_with_other_values_has_another_id() -> None:
    assert BOX.id != BLUR.id
    assert BOX.model_copy(update={"mode": Mode.BLUR}).id == BLUR.id
    assert BOX.model_copy().id == BOX.id


def test_a_value_that_is_the_default_changes_nothing() -> None:
    assert Recipe(model="yunet", model_version="1", mode=Mode.BOX).id == BOX.id


def test_a_message_copied_with_another_recipe_is_of_that_recipe() -> None:
    message = image(recipe=BOX)
    assert message.recipe_id == BOX.id
    copied = message.model_copy(update={"recipe": BLUR})
    assert copied.recipe_id == BLUR.id
    assert type(message).decode(copied.encode()) == copied
    renamed = message.model_copy(update={"payload": Payload.of(b"x"), "source_uri": None})
    assert renamed.recipe_id == BOX.id
