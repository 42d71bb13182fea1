//go:build !race

package engine

import "github.com/holdfast-go/holdfast/instance"

// modelServer is an instance as the models have it: what the scripts read and
// write, for one resource. Tokens and fences are small numbers, and 0 is none.
type modelServer struct {
	holder uint8 // the token in the lock
	fence  uint8
	left   uint8 // of the lock's life; the models of order and of fences have no time
}

// modelScripts are the decisions of the scripts in internal/scripts. A mutant is
// one that decides wrongly.
type modelScripts struct {
	stale   func(fence, proposed uint8) bool
	ours    func(s *modelServer, token uint8) bool
	repeats func(s *modelServer, token, highest uint8) bool
	raised  func(fence, highest uint8) uint8 // what a raise makes of the fence
	bury    bool                             // a release raises the fence
}

func rightScripts() modelScripts {
	return modelScripts{
		stale:   func(fence, proposed uint8) bool { return fence != 0 && fence >= proposed },
		ours:    func(s *modelServer, token uint8) bool { return s.holder == token },
		repeats: func(s *modelServer, token, highest uint8) bool { return s.holder == token && s.fence == highest },
		raised:  func(fence, highest uint8) uint8 { return max(fence, highest) },
		bury:    true,
	}
}

// acquire is acquire.lua, and SET … NX.
func (m *modelScripts) acquire(s *modelServer, token, ttl uint8) instance.Kind {
	if s.holder != 0 {
		return instance.Held
	}
	s.holder, s.left = token, ttl
	return instance.Granted
}

// acquireFenced is acquire_fenced.lua, for clusters. It does not know of servers' clocks: a
// proposal that is too far ahead is one that never arrives. The highest fence is the
// proposal, or what is reserved behind it.
func (m *modelScripts) acquireFenced(s *modelServer, token, ttl, fence, highest uint8) instance.Kind {
	repeated := m.repeats(s, token, highest)
	switch {
	case s.holder != 0 && !repeated:
		return instance.Held
	case m.stale(s.fence, fence) && !repeated:
		return instance.Stale
	}
	*s = modelServer{holder: token, fence: highest, left: ttl}
	return instance.Granted
}

// raise is BITFIELD, as instances send it. It reports whether it has found less than the proposal.
func (m *modelScripts) raise(s *modelServer, fence, highest uint8) bool {
	raised := !m.stale(s.fence, fence)
	s.fence = m.raised(s.fence, highest)
	return raised
}

// acquireNative is a raise and SET … NX, one behind the other.
func (m *modelScripts) acquireNative(s *modelServer, token, ttl, fence, highest uint8) instance.Kind {
	raised := m.raise(s, fence, highest)
	kind := m.acquire(s, token, ttl)
	if kind == instance.Granted && !raised {
		return instance.Stale
	}
	return kind
}

// acquireRaise is acquire_raise.lua.
func (m *modelScripts) acquireRaise(s *modelServer, token, ttl, fence, highest uint8) instance.Kind {
	switch {
	case s.holder != 0:
		return instance.Held
	case m.stale(s.fence, fence):
		return instance.Stale
	}
	m.raise(s, fence, highest)
	return m.acquire(s, token, ttl)
}

// renew is renew.lua, and renew_fenced.lua: the models' fences live for ever.
func (m *modelScripts) renew(s *modelServer, token, ttl uint8) instance.Kind {
	switch {
	case s.holder == 0:
		return instance.Gone
	case s.holder != token:
		return instance.Stolen
	}
	s.left = max(s.left, ttl)
	return instance.Granted
}

// adopt is adopt.lua.
func (m *modelScripts) adopt(s *modelServer, from, to, ttl uint8) instance.Kind {
	switch {
	case s.holder == 0:
		return instance.Gone
	case s.holder != from && s.holder != to:
		return instance.Stolen
	case s.holder == from && from != to:
		s.holder, s.left = to, max(s.left, ttl)
	}
	return instance.Granted
}

// release is release.lua.
func (m *modelScripts) release(s *modelServer, token uint8) instance.Kind {
	switch {
	case s.holder == 0:
		return instance.Gone
	case !m.ours(s, token):
		return instance.Stolen
	}
	s.holder, s.left = 0, 0
	return instance.Granted
}

// releaseFenced is release_fenced.lua, and release_raise.lua.
func (m *modelScripts) releaseFenced(s *modelServer, token, fence uint8) instance.Kind {
	kind := m.release(s, token)
	if m.bury {
		s.fence = max(s.fence, fence)
	}
	return kind
}
