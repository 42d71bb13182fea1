package main

var electRow = command{
	name:  "elect",
	args:  "ELECTION -- COMMAND [ARG...]",
	short: "run a command while leading, and again after a loss",
	rest:  "command",
	make:  newElect,
	long: `Waits until nobody else leads the election, and runs the command for as long as it leads.
When the lead is lost, it ends the command, waits until it leads again, and starts the
command again. When the command ends by itself, it resigns, and returns the command's exit
code: whether to start it again is its supervisor's matter.

The command is ended as ` + "`holdfast run`" + ` ends one: with TERM, --grace before another may
lead, and with KILL a tenth of the grace before that. Signals, stops and background
processes are treated as there, too. While there is no command, TERM and INT end the
waiting.

All who watch (` + "`holdfast observe ELECTION`" + `) are told what --value says: an address, say,
by which the leader is reached. It has 1024 bytes at most.

The command finds in its environment
  HOLDFAST_RESOURCE  the election
  HOLDFAST_TOKEN     proves that the lead is ours: treat it as a password
  HOLDFAST_FENCE     the term, a number that is higher for each later leader: what the
                     command writes to can refuse the writes of an earlier one by it
  HOLDFAST_SLOTS     empty
  HOLDFAST_DEADLINE  the moment at which the lead would end without a renewal
but not HOLDFAST_REDIS and HOLDFAST_REDIS_FILE, unless --pass-redis is given.

An election is the lock of that name: ` + "`holdfast run`" + ` under that name keeps all others from
leading, and leads nothing itself.

Exit codes: the command's own, or 128 and the signal's number if a signal has ended it;
69 when too few instances answer at the beginning; 78 when they refuse, and waiting does
not mend it; 70 when the lead was lost and the command had ended just then; 64 for a wrong
command line; 126 and 127 when the command cannot be executed or found.`,
}
