# The container image: building it with docker or podman, whichever is there, and trying it.
# Included by the Makefile.

IMAGE ?= faces-in-the-cloud
TAG ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BASE ?=
MODEL ?=
PIP_CONF ?=
BUILD_FLAGS ?=
ENGINE ?= $(shell docker info >/dev/null 2>&1 && echo docker || command -v podman 2>/dev/null)

# The model to bake in: the one named, or the best that can be had, as `faces models pull` chooses.
CHOOSE_MODEL := import os, pathlib, sys; from services.cli.commands.models import choose; \
	print(choose(os.environ.get("MODEL") or None, pathlib.Path("models"), \
	lambda text: print(text, file=sys.stderr)))

.PHONY: image image-test

image: $(READY) ## Build the container image; see image.mk for BASE, MODEL, PIP_CONF, BUILD_FLAGS.
	@test -n "$(ENGINE)" || { echo "docker or podman is needed and neither works here"; exit 2; }
	@model=$$(MODEL="$(MODEL)" $(BIN)/python -c '$(CHOOSE_MODEL)') || exit $$?; \
	set -x; $(ENGINE) build $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg MODEL=$$model \
		--build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null) \
		$(if $(PIP_CONF),--secret id=pip$(,)src=$(PIP_CONF)) $(BUILD_FLAGS) \
		-t $(IMAGE):$(TAG) .
	@$(ENGINE) image inspect $(IMAGE):$(TAG) --format \
		'$(IMAGE):$(TAG)  {{.Size}} bytes  user {{.Config.User}}  {{.Id}}'

image-test: $(READY) ## Build the image on a base made here, and run all services as in a cluster.
	@FACES_IMAGE_TEST=1 $(BIN)/python -m pytest -v -rs -o log_cli=true $(ARGS) tests/k8s/test_image.py

, := ,
