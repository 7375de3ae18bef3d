"""Which fields of pyslurm's objects wacht reads: what is recorded of the real ones, and what the stand-in offers."""

from __future__ import annotations

NODE = (
    *("name", "state", "configured_gres", "allocated_tres", "reason", "reason_user", "reason_time", "cpu_load"),
    *("partitions", "total_cpus", "allocated_cpus", "real_memory", "allocated_memory", "free_memory"),
    *("active_features", "hostname", "address", "slurm_version", "boot_time", "slurmd_start_time", "last_busy_time"),
    *("comment", "extra"),
)
JOB = (
    *(
        "id",
        "name",
        "user_id",
        "user_name",
        "account",
        "partition",
        "qos",
        "state",
        "state_reason",
        "array_id",
        "array_task_id",
    ),
    *("array_tasks_waiting", "heterogeneous_id", "heterogeneous_offset", "allocated_nodes", "num_nodes", "cpus"),
    *(
        "allocated_tres",
        "requested_tres",
        "gres_per_node",
        "tres_per_task",
        "ntasks",
        "submit_time",
        "start_time",
        "time_limit",
        "priority",
    ),
    *("requeue_count", "exit_code", "batch_host", "required_nodes", "excluded_nodes", "licenses", "standard_error"),
    *("container", "system_comment", "extra", "is_batch_job", "is_requeueable", "dependencies", "working_directory"),
    *("command", "standard_output", "comment", "admin_comment", "constraints"),
)
PARTITION = (
    *("name", "state", "is_default", "nodes", "total_nodes", "total_cpus", "max_time", "priority_tier", "qos"),
    *("allowed_accounts", "denied_accounts"),
)
RESERVATION = (
    *("name", "start_time", "end_time", "nodes", "node_count", "partition", "flags", "reoccurrence", "users"),
    *("accounts", "comment", "purge_time"),
)
STATISTICS = (
    *("server_thread_count", "agent_queue_size", "dbd_agent_queue_size", "schedule_cycle_last", "schedule_cycle_mean"),
    *("backfill_cycle_last", "jobs_pending", "jobs_running", "data_since", "rpcs_by_user"),
)
CONFIG = (
    *("version", "slurm_user_name", "slurm_user_id", "accounting_storage_type", "accounting_storage_tres"),
    "private_data",
)
