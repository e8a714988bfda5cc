# The analytics targets of OnRamp.
# To list what is collected: make analytics-events

#########################################################
##
## Analytics (opt-in)
##
#########################################################

# The command that runs the program. A makefile can set it before it includes this one; the environment cannot.
ifneq (file,$(origin ONRAMP_ANALYTICS))
ONRAMP_ANALYTICS := $(if $(wildcard make.d/analytics.sh),sh make.d/analytics.sh,onramp-analytics)
endif
unexport ONRAMP_ANALYTICS ONRAMP_ANALYTICS_INSIDE

# Start the tracker in the background: the interpreter and the script that onramp.program names or, if they are missing,
# the program that analytics.sh finds. It holds no stream and no descriptor of make (a job server has two), outlives the
# terminal, and never prints. Files of another user are ignored.
onramp-analytics-start = trap '' HUP; { [ -O onramp.lock ] || exit 0; python= entry=; \
  if [ -f onramp.program ] && [ ! -h onramp.program ] && [ -O onramp.program ]; then \
    { read -r python; read -r entry; } <onramp.program; fi; \
  if [ -x "$$python" ] && [ -r "$$entry" ]; then exec "$$python" -IS "$$entry" $1; fi; \
  exec sh make.d/analytics.sh from-make $1; } </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &

# For recipes, on a line of its own: $(call onramp-track,EVENT,KEY=VALUE KEY=VALUE)
# It does nothing if analytics are off. To list what it can record: make analytics-events
onramp-quoted = $(foreach word,$1,'$(subst ','\'',$(word))')
onramp-is-on = $(value onramp-analytics-on)$(findstring environment,$(origin ONRAMP_ANALYTICS_INSIDE))
onramp-track = $(if $(onramp-is-on),@$(call onramp-analytics-start,track $(call onramp-quoted,$1 $2)))

# What the shell forbids counts here, even if `.env` has another value (see GNUmakefile).
ifneq (,$(value onramp-do-not-track))
analytics-%: override export DO_NOT_TRACK := 1
endif
ifneq (,$(value onramp-refused))
analytics-%: override export ONRAMP_ANALYTICS_ENABLED := 0
endif

.PHONY: analytics-enable analytics-disable analytics-status analytics-preview analytics-events analytics-report \
        analytics-doctor analytics-flush analytics-upgrade analytics-results analytics-show-id analytics-reset-id \
        analytics-show-sent analytics-show-pending

analytics-enable: ## Turn on anonymous usage analytics
	@$(ONRAMP_ANALYTICS) enable

analytics-disable: ## Turn off analytics and delete the data on this machine
	@$(ONRAMP_ANALYTICS) disable

analytics-status: ## Show whether analytics are on, and any problems
	@$(ONRAMP_ANALYTICS) status

analytics-preview: ## Show what would be sent, without sending it
	@$(ONRAMP_ANALYTICS) preview

analytics-events: ## List every event that can be recorded
	@$(ONRAMP_ANALYTICS) events

analytics-report: ## Summarize the recorded events
	@$(ONRAMP_ANALYTICS) report

analytics-doctor: ## Check the analytics setup and suggest fixes
	@$(ONRAMP_ANALYTICS) doctor

analytics-flush: ## Send the queued events now
	@$(ONRAMP_ANALYTICS) flush

analytics-upgrade: ## Install or update the analytics program
	@$(ONRAMP_ANALYTICS) upgrade

analytics-results: ## Show which services other installations use
	@$(ONRAMP_ANALYTICS) results

analytics-show-id: ## Show the random identifier of this installation
	@$(ONRAMP_ANALYTICS) show-id

analytics-reset-id: ## Replace the identifier with a new one
	@$(ONRAMP_ANALYTICS) reset-id

analytics-show-sent: ## Show the events that were sent
	@$(ONRAMP_ANALYTICS) show-sent

analytics-show-pending: ## Show the queued events, which are not sent yet
	@$(ONRAMP_ANALYTICS) show-pending
