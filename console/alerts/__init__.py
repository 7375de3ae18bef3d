"""Alerts folded by what failed together, the alerting rules that ship with wacht, and the bell.

Not here: silences as actions (`actions.silences`) and Alertmanager's API (`collectors.alertmanager`)."""
