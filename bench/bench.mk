# Measurements; included by the Makefile. They use the model that `make demo` fetched, and sample
# pictures where none are given. What is missing is left out of the tables, or said in one line.
#
# Each peer has an environment of its own, bench/.venv-NAME, with the versions that
# bench/peers/NAME.txt pins. The tutorial's pipeline also needs the Debian packages beanstalkd and
# imagemagick, and dlib (below face_recognition) a C++ compiler.

PEERS := celery streaq taskiq arq tutorial deface face_recognition
PEERS_READY := $(PEERS:%=bench/.venv-%/.installed)

.PHONY: bench bench-queue bench-scale bench-latency bench-two-buckets bench-cell accuracy bench-hiding bench-peers $(PEERS:%=bench-peer-%)

bench: $(READY) ## Images a second beside a bare pool and the peers; other pictures: IMAGES=
	@$(BIN)/python -m bench.throughput $(if $(IMAGES),--images "$(IMAGES)") $(ARGS)

bench-queue: $(READY) ## Messages a second through one stage, beside a bare loop and the peers.
	@$(BIN)/python -m bench.queue $(ARGS)

bench-scale: $(READY) ## A million waiting; how many detectors one Redis carries.
	@$(BIN)/python -m bench.scale $(ARGS)

bench-latency: $(READY) ## One image into an idle suite; time to the first result of a run.
	@$(BIN)/python -m bench.latency $(if $(IMAGES),--images "$(IMAGES)") $(ARGS)

bench-cell: $(READY) ## What a closed cell costs a slot: to be ready, and a picture.
	@$(BIN)/python -m bench.cell $(if $(IMAGES),"$(IMAGES)") $(ARGS)

bench-two-buckets: $(READY) ## What a bucket that falls silent costs the pictures of another.
	@$(BIN)/python -m bench.two_buckets $(ARGS)

accuracy: $(READY) ## Average precision of every model on labelled pictures; others: ARGS=FOLDER
	@$(BIN)/python -m bench.accuracy $(ARGS)

bench-hiding: $(READY) ## Labelled faces that hiding covers; beside deface: ARGS="--deface PYTHON"
	@$(BIN)/python -m bench.hiding $(ARGS)

bench-peers: $(PEERS:%=bench-peer-%) ## Install what the measurements compare with (some minutes).

# One that cannot be installed here says so and leaves the others alone.
$(PEERS:%=bench-peer-%): bench-peer-%: $(READY)
	@$(MAKE) --no-print-directory bench/.venv-$*/.installed \
		|| echo "$*: not installed (see above); the tables will leave it out"

$(PEERS_READY): bench/.venv-%/.installed: bench/peers/%.txt
	@echo "installing bench/peers/$*.txt into bench/.venv-$*"
	@$(BIN)/python -m venv bench/.venv-$*
	@bench/.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r $<
	@touch $@
