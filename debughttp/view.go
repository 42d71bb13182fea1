package debughttp

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-go/holdfast/engine"
)

// view is what is shown, on the page and as JSON. Durations are in milliseconds.
type view struct {
	At        time.Time      `json:"at"`
	Process   processView    `json:"process"`
	Held      int            `json:"held"`
	Waiting   int            `json:"acquires_waiting"`
	Places    int            `json:"places"`       // in queues
	First     int            `json:"places_first"` // of these
	Lost      uint64         `json:"lost"`
	Dropped   uint64         `json:"losses_dropped"`
	Untold    untoldView     `json:"untold"`
	Instances []instanceView `json:"instances"`
	Leases    []leaseView    `json:"leases"`
	Lines     []lineView     `json:"waiters"`
	Losses    []endView      `json:"losses"`
	Ends      []endView      `json:"ends"`
	History   *history       `json:"history,omitempty"` // nil: there is no Recorder
}

type untoldView struct {
	Log   uint64 `json:"log"`
	Trace uint64 `json:"trace"`
	Votes uint64 `json:"votes"`
}

type instanceView struct {
	Name       string    `json:"name"`
	State      string    `json:"state"`
	Since      time.Time `json:"since"`
	Error      string    `json:"error,omitempty"`
	Latency    millis    `json:"latency_ms"`
	Quarantine millis    `json:"quarantine_ms"`
	Mailbox    int       `json:"mailbox"` // messages in it
	RunID      string    `json:"run_id,omitempty"`
	Stepped    millis    `json:"stepped_ms,omitempty"` // the server's clock, forward or back
	SteppedAt  time.Time `json:"stepped_at,omitzero"`
}

type leaseView struct {
	Resource  string    `json:"resource"`
	More      int       `json:"more,omitempty"`    // resources of the lease
	Slots     slots     `json:"permits,omitempty"` // which it is of
	Shared    bool      `json:"shared,omitempty"`
	Holder    string    `json:"holder"`
	Fence     uint64    `json:"fence,omitempty"`
	Since     time.Time `json:"since"`
	Remaining millis    `json:"remaining_ms"`
	Renewed   bool      `json:"renewed"`
	Renewals  int       `json:"renewals"`
}

type lineView struct {
	Resource string `json:"resource"`
	Waiting  int    `json:"acquires"`
}

type endView struct {
	Resource string    `json:"resource"`
	More     int       `json:"more,omitempty"`
	Slots    slots     `json:"permits,omitempty"`
	Holder   string    `json:"holder"`
	Fence    uint64    `json:"fence,omitempty"`
	Cause    string    `json:"cause"`
	At       time.Time `json:"at"`
	Held     millis    `json:"held_ms"`
}

// millis is a duration that is a number of milliseconds in JSON.
type millis time.Duration

func (s millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s)/float64(time.Millisecond), 'f', -1, 64), nil
}

// String rounds to what a person reads.
func (s millis) String() string {
	switch d := time.Duration(s); {
	case d == 0:
		return "–"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// look takes a snapshot, in an order that a person finds things in.
func (h *handler) look(limit int) view {
	s := h.engine.Snapshot(limit)
	v := view{
		At: s.At, Process: process, Held: s.Held, Waiting: s.Waiting, Places: s.Places, First: s.First, Lost: s.Lost, Dropped: s.Dropped, Untold: untoldView(s.Untold),
		Instances: make([]instanceView, 0, len(s.Instances)), // [] in JSON, not null
		Leases:    make([]leaseView, 0, len(s.Leases)),
		Lines:     make([]lineView, 0, len(s.Lines)),
		Losses:    endViews(s.Losses),
		Ends:      endViews(s.Ends),
	}
	v.Process.Owner = s.Owner
	for _, i := range s.Instances {
		shown := instanceView{
			i.Name, i.State.String(), i.Since, "", millis(i.Latency), millis(i.Quarantine), i.Mailbox, i.RunID,
			millis(i.Stepped), i.SteppedAt,
		}
		if i.Err != nil {
			shown.Error = i.Err.Error()
		}
		v.Instances = append(v.Instances, shown)
	}
	for _, l := range s.Leases {
		v.Leases = append(v.Leases, leaseView{readable(l.Resource), l.More, l.Slots, l.Shared, holder(l.Holder), l.Fence, l.Since, millis(l.Remaining), l.Renewed, l.Renewals})
	}
	for _, l := range s.Lines {
		v.Lines = append(v.Lines, lineView{readable(l.Resource), l.Waiting})
	}
	slices.SortFunc(v.Leases, func(a, b leaseView) int { return cmp.Compare(a.Resource, b.Resource) })
	slices.SortFunc(v.Lines, func(a, b lineView) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Resource, b.Resource))
	})
	if h.recorder != nil {
		v.History = h.recorder.history(v.Instances)
	}
	return v
}

func endViews(ends []engine.End) []endView {
	views := make([]endView, 0, len(ends))
	for _, x := range ends {
		views = append(views, endView{readable(x.Resource), x.More, x.Slots, holder(x.Holder), x.Fence, engine.Cause(x.Cause), x.At, millis(x.Held)})
	}
	return views
}

// slots are numbers of permits.
type slots []int

// String says which permits they are, behind the name of what they are of.
func (s slots) String() string {
	switch len(s) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(", permit %d", s[0])
	}
	return ", permits " + strings.Trim(fmt.Sprint([]int(s)), "[]")
}

// Lost reports whether it ended against the holder's will.
func (e endView) Lost() bool {
	return !slices.Contains([]string{"released", "detached", "closed"}, e.Cause)
}

// readable quotes a name that is no text, or has in it what is not seen or
// changes how the rest is seen. A resource may be any bytes.
func readable(name string) string {
	if !utf8.ValidString(name) {
		return strconv.Quote(name)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return strconv.Quote(name)
		}
	}
	return name
}

// holder takes off the quotes of an abbreviated token where they are not needed.
func holder(quoted string) string {
	if token, err := strconv.Unquote(quoted); err == nil {
		return readable(token)
	}
	return quoted
}

// Ago is how long ago a moment was, when the view was taken.
func (v view) Ago(t time.Time) millis { return millis(max(0, v.At.Sub(t))) }

// More is how many there are that are not listed.
func (v view) More(all, listed int) int { return max(0, all-listed) }
