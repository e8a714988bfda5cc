# The analytics targets of OnRamp. Taken as it is: `include` it, or drop it into make.d/.
# What is collected: make analytics-events

ONRAMP_ANALYTICS ?= onramp-analytics

.PHONY: analytics-enable analytics-disable analytics-status analytics-show-id analytics-reset-id analytics-flush \
        analytics-show-pending analytics-show-sent analytics-events

analytics-enable: ## Turn anonymous usage analytics on
	@$(ONRAMP_ANALYTICS) enable

analytics-disable: ## Turn analytics off and delete what is pending
	@$(ONRAMP_ANALYTICS) disable

analytics-status: ## Show whether anything is collected, what waits, and what is wrong
	@$(ONRAMP_ANALYTICS) status

analytics-show-id: ## Show the random identifier of this installation
	@$(ONRAMP_ANALYTICS) show-id

analytics-reset-id: ## Replace that identifier by a new one
	@$(ONRAMP_ANALYTICS) reset-id

analytics-flush: ## Send what is pending now
	@$(ONRAMP_ANALYTICS) flush

analytics-show-pending: ## Show every event that waits, as it will be sent
	@$(ONRAMP_ANALYTICS) show-pending

analytics-show-sent: ## Show the events that were sent
	@$(ONRAMP_ANALYTICS) show-sent

analytics-events: ## Show what may be collected at all
	@$(ONRAMP_ANALYTICS) events
