# Known holes in what is installed. Included by the Makefile.

.PHONY: audit

audit: $(READY) ## Look up what requirements.txt pins in the lists of known vulnerabilities.
	@# Strict: a package that cannot be looked up (by a mirror without that list) is an error.
	@$(BIN)/pip-audit -r requirements.txt --require-hashes --disable-pip --strict \
		--progress-spinner off $(ARGS)
