package mutants

// mutant is one bug.
type mutant struct {
	name  string
	edits []edit
	lua   bool   // in a script, which only miniredis runs
	test  string // that is to catch it; "": the simulation is
	in    string // the package of that test
}

// edit is text that is found once in a file, and what takes its place.
type edit struct{ file, old, new string }

func one(file, old, new string) []edit { return []edit{{file, old, new}} }

var table = []mutant{
	{
		name: "the same token over all attempts of an acquire",
		edits: one("engine/acquire.go",
			"		q.token = e.tokens.fresh()\n",
			"		q.token = e.tokens.fresh()\n		r.token = q.token\n"),
	},
	{
		name: "a fence that is granted twice: > instead of >=",
		edits: one("instance/lua/acquire_fenced.lua",
			"tonumber(fence) >= tonumber(ARGV[3])",
			"tonumber(fence) > tonumber(ARGV[3])"),
		lua: true,
	},
	{
		name: "a proposal that is sent twice is stale, because of itself",
		edits: one("instance/lua/acquire_fenced.lua",
			"tonumber(ARGV[3]) and not repeated then",
			"tonumber(ARGV[3]) then"),
		in: "instance", test: "TestAProposalThatIsSentTwiceIsGrantedTwice",
	},
	{
		name: "a proposal may be as far ahead as it likes",
		edits: one("instance/lua/acquire_fenced.lua",
			"if tonumber(ARGV[3]) > now + tonumber(ARGV[5]) then",
			"if false then"),
		in: "instance", test: "TestAProposalFarAheadOfTheServersClockIsNotTakenOver",
	},
	{
		name: "fences compared as texts",
		edits: one("instance/lua/acquire_fenced.lua",
			"if fence and tonumber(fence) >= tonumber(ARGV[3])",
			"if fence and fence >= ARGV[3]"),
		in: "instance", test: "TestAFenceIsNeverGivenTwiceNorALowerOneLater",
	},
	{
		name: "a fence stored as a Lua number's text",
		edits: one("instance/lua/acquire_fenced.lua",
			"redis.call('SET', KEYS[2], ARGV[6],",
			"redis.call('SET', KEYS[2], tonumber(ARGV[6]) .. '',"),
		in: "instance", test: "TestAFenceIsNeverGivenTwiceNorALowerOneLater",
	},
	{
		name: "a lock that is renewed and outlives its fence",
		edits: one("instance/lua/renew_fenced.lua",
			"if redis.call('PTTL', fence) < tonumber(fencettl) then",
			"if false then"),
		in: "instance", test: "TestAFenceOutlivesItsLock",
	},
	{
		name: "the fence raised before the lock is deleted, without memory to spare",
		edits: []edit{
			{"instance/lua/release_fenced.lua", "local answer =", "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])\nlocal answer ="},
		},
		in: "instance", test: "TestALockIsReleasedThoughThereIsNoMemoryForItsFence",
	},
	{
		name: "oks counted across proposals and rounds",
		edits: []edit{
			{"engine/option.go", "	errs     []error\n}", "	errs     []error\n	oks      int\n}"},
			{"engine/attempt.go", "	a.open(a.engine.instances)\n", "	a.open(a.engine.instances)\n	a.tally.yes = r.oks\n"},
			{"engine/acquire.go", "	votes := a.result()\n	refused := e.refusal", "	r.oks = a.tally.yes\n	votes := a.result()\n	refused := e.refusal"},
		},
	},
	{
		name: "an acquire overtaken by its release: the former connection is not killed",
		edits: one("instance/link.go",
			"	if former == nil || former.id == 0",
			"	if former == nil || former.id != 0"),
	},
	{
		name: "no tombstone, where the former connection may not be killed",
		edits: one("instance/lua/release_fenced.lua",
			"if not fence or tonumber(fence) < tonumber(ARGV[2]) then",
			"if false then"),
		lua: true,
	},
	{
		name: "no tombstone, on another connection than the acquire's, where the former may not be killed",
		edits: one("instance/release.go",
			"!s.again && !s.opened.IsZero() && r.Since.After(s.opened)",
			"!r.Since.IsZero()"),
		in: "engine", test: "TestReleaseThatOvertakesItsAcquireLeavesATombstone",
	},
	{
		name: "validity counted from after the replies",
		edits: one("engine/acquire.go",
			"	deadline := start.Add(e.cfg.validity(r.ttl))",
			"	deadline := clock.Now().Add(e.cfg.validity(r.ttl))"),
	},
	{
		name: "a renewal's validity counted from after the replies",
		edits: one("engine/renewal.go",
			"		o.Deadline = r.start.Add(",
			"		o.Deadline = clock.Now().Add("),
	},
	{
		name: "no restart guard",
		edits: one("internal/restart/restart.go",
			"	full := now.At.Add(quarantine)\n",
			"	full := now.At.Add(quarantine)\n	if !full.IsZero() {\n		return Judgement{}\n	}\n"),
	},
	{
		name: "a quarantine shorter than the longest TTL",
		edits: one("engine/config.go",
			"	return c.MaxTTL + attempt",
			"	return c.MaxTTL/4 + attempt"),
	},
	{
		name: "a late renewal that revives",
		edits: one("lease/control.go",
			"err == nil && deadline.Later(l.deadline) {\n		l.deadline = deadline\n",
			"deadline.Later(l.deadline) {\n		l.deadline, l.err = deadline, nil\n"),
	},
	{
		name: "Done at the end of the TTL, not of the validity",
		edits: one("engine/config.go",
			"	return ttl - (time.Duration(float64(ttl)*c.DriftFactor) + fixedDrift)",
			"	return ttl"),
	},
	{
		name: "a quorum of N/2",
		edits: one("engine/ballot.go",
			"func quorum(voters int) int { return voters/2 + 1 }",
			"func quorum(voters int) int { return max(1, voters/2) }"),
	},
	{
		name: "a minority that is kept through retries",
		edits: one("engine/acquire.go",
			"	a.undo()\n",
			""),
	},
	{
		name: "a renewal that puts a missing key back",
		edits: one("instance/lua/renew.lua",
			"  local holder = redis.pcall('GET', key)\n",
			"  redis.call('SET', key, token, 'NX', 'PX', ttl)\n  local holder = redis.pcall('GET', key)\n"),
		lua: true,
	},
	{
		name: "healing without proof",
		edits: []edit{
			{"engine/renewal.go", "t.ours.all() && t.ours.won()", "t.ours.all()"},
			{"engine/renewal.go", "h.released || !l.Valid()", "h.released"},
		},
	},
	{
		name: "a release that does not compare",
		edits: one("instance/lua/release.lua",
			"if holder == ARGV[1] then",
			"if holder then"),
		lua: true,
	},
	{
		name: "what is owed to a frozen instance is forgotten after the TTL",
		edits: one("instance/debts.go",
			"	s := sending{instance: i, now: time.Now()}\n",
			"	s := sending{instance: i, now: time.Now()}\n	owed = slices.DeleteFunc(owed, func(d debt) bool { return !s.now.Before(d.until) })\n"),
	},
	{
		name: "an instance that is in quarantine votes",
		edits: one("instance/acquire.go",
			"	case s.recovering > 0 && a.Former == \"\" && !s.heals(a.Proof):",
			"	case s.recovering < 0 && !s.heals(a.Proof):"),
	},
	{
		name: "an adoption that only proves the token, and leaves it",
		edits: one("instance/lua/adopt.lua",
			"redis.call('SET', KEYS[1], ARGV[2],",
			"redis.call('SET', KEYS[1], ARGV[1],"),
		in: "engine", test: "TestAdoptionIsNoticedByWhoHasNotLetGo",
	},
	{
		name: "a failed adoption that deletes the lock, as a failed acquire does",
		edits: one("engine/attempt.go",
			"u.Undo, u.Former = &s.acquire, s.acquire.Former",
			"u.Undo, u.Former = &s.acquire, \"\""),
		in: "engine", test: "TestFailedAdoptGivesTheLockBack",
	},
	{
		name: "an owed undo of an adoption that deletes the lock",
		edits: one("instance/debts.go",
			"Token: d.token, Former: d.former,",
			"Token: d.token,"),
		in: "engine", test: "TestFailedAdoptGivesTheLockBack",
	},
	{
		name: "a detached lease that is released all the same",
		edits: one("engine/holding.go",
			"	if cause == lease.ErrDetached {",
			"	if false {"),
		in: "engine", test: "TestDetachedLeaseIsItsAdoptersAlone",
	},
	{
		name: "a grant for a caller who has cancelled",
		edits: one("engine/attempt.go",
			"		if ctx.Err() != nil {\n			return true,",
			"		if false {\n			return true,"),
		in: "engine", test: "TestCancelledCallerGetsNoLease",
	},
	{
		name: "a lock that is handed to a caller who has cancelled",
		edits: one("engine/told.go",
			"	case b.holding != nil && ctx.Err() != nil:",
			"	case b.holding != nil && false:"),
		in: "engine", test: "TestCancelledCallerGetsNoLease",
	},
	{
		name: "numbers reserved without a look at the clock",
		edits: one("engine/fencing.go",
			"		Reserved: reserve(r.reserve, fence, clock, maxAhead),",
			"		Reserved: min(r.reserve, instance.MaxFence-fence),"),
		in: "engine", test: "TestReservedFencesNeverLockTheEngineOut",
	},
	{
		name: "a lock that is handed on although the engine owes others a break",
		edits: one("engine/handoff.go",
			"	if _, owes := e.owesBreak(h.key, now); owes {\n		return false",
			"	if _, owes := e.owesBreak(h.key, now); owes && false {\n		return false"),
		in: "engine", test: "TestHandingOnLeavesOthersTheirTurn",
	},
	{
		name: "an heir that is asked although the engine owes others a break",
		edits: one("engine/holding.go",
			"			return mayBeAsked(r) && !owes\n",
			"			return mayBeAsked(r) && (!owes || true)\n"),
		in: "engine", test: "TestHandingOnLeavesOthersTheirTurn",
	},
	{
		name: "a lease with a limit whose acquire asks for the whole TTL",
		edits: one("engine/option.go",
			"		r.ttl = e.cfg.covering(r.maxHold, r.ttl)\n",
			""),
		in: "engine", test: "TestKeyEndsWithTheLongestTimeThatItsLeaseMayBeHeld",
	},
	{
		name: "a renewal that has the key outlive the lease's limit",
		edits: one("engine/renewal.go",
			"		ttl = h.within(ttl, clock.Glance())\n",
			""),
		in: "engine", test: "TestKeyEndsWithTheLongestTimeThatItsLeaseMayBeHeld",
	},
	{
		name: "a lock that is handed on and counted from then on",
		edits: one("engine/handoff.go",
			"	next := h.bequeath(r, deadline)\n",
			"	next := h.bequeath(r, clock.Glance().Add(e.cfg.validity(r.ttl)))\n"),
	},
	{
		name: "a lock that is handed on and may be held for as long as anybody likes",
		edits: one("engine/handoff.go",
			"		g.Limit = now.Add(r.maxHold)\n",
			"		g.Limit = now.Add(time.Hour)\n"),
	},
	{
		name: "a break that was taken is counted as one that was not",
		edits: one("engine/courtesy.go",
			"	if taken {\n		s.quantum = c.quantum\n",
			"	if taken && s.quantum < c.quantum {\n		s.quantum = c.quantum\n"),
		in: "internal/trial", test: "TestNoEngineStarves",
	},
	{
		name: "a slot that moves leaves its old node's quarantine behind",
		edits: one("instance/cluster_move.go",
			"	until := now.Add(mv.from.recovering(now))\n",
			"	until := now\n"),
		in: "instance", test: "TestQuarantineMovesWithTheSlot",
	},
	{
		name: "a slot that is taken over from a node that is gone is trusted",
		edits: one("instance/cluster_move.go",
			"	if !mv.told {\n",
			"	if !mv.told && mv.slot > slotCount {\n"),
		in: "instance", test: "TestRestartGuardFollowsTheSlot",
	},
	{
		name: "a slot that comes back unasked is trusted",
		edits: one("instance/cluster_map.go",
			"			c.doubt(slot, c.nodes[addr])\n",
			""),
		in: "instance", test: "TestRestartGuardFollowsASlotThatComesBackUnasked",
	},
	{
		name: "nothing is owed to a node that was given the lock while it was down",
		edits: one("instance/debts.go",
			"m.refusal != nil && !m.ofNode && d.since",
			"m.refusal != nil && d.since"),
		in: "instance", test: "TestReleaseIsOwedToANodeThatWasGivenTheLock",
	},
	{
		name: "what is owed is forgotten when the instance goes down while it is paid",
		edits: one("instance/debts.go",
			"			i.mailbox.oweAgain(refused)\n			return err\n",
			"			return err\n"),
		in: "engine", test: "TestDebtsOutliveASecondOutage",
	},
	{
		name: "what was paid before the instance went down again is all that was owed",
		edits: one("instance/debts.go",
			"			if err := i.link.next(&i.reply); err != nil {\n				return append(unpaid, owed...), err\n",
			"			if err := i.link.next(&i.reply); err != nil {\n				return unpaid, err\n"),
		in: "engine", test: "TestDebtsOutliveASecondOutage",
	},
}
