"""Alert groups (alerts of one cause), the alerting rules that ship with wacht, and the bell.

Not here: silences as actions (`actions.silences`) and Alertmanager's API (`collectors.alertmanager`)."""
