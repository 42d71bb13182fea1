package reach

import "testing"

func TestSpellingsOfTLS(t *testing.T) {
	const off, verified, skipped = "off", "verified", "skipped"
	for raw, want := range map[string][2]string{ // to the master, to the sentinels
		"redis://h":                                                       {off, off},
		"rediss://h":                                                      {verified, off},
		"rediss://h?ssl_cert_reqs=CERT_NONE":                              {skipped, off},
		"rediss://h?ssl_cert_reqs=cert_none":                              {skipped, off},
		"rediss://h?ssl_cert_reqs=NONE":                                   {skipped, off},
		"rediss://h?ssl_cert_reqs=none":                                   {skipped, off},
		"rediss://h?ssl_cert_reqs=Optional":                               {verified, off},
		"rediss://h?ssl_cert_reqs=required":                               {verified, off},
		"rediss://h?skip_verify=true":                                     {skipped, off},
		"rediss://h?skip_verify=false":                                    {verified, off},
		"rediss://h?skip_verify=true&ssl_cert_reqs=required":              {verified, off},
		"redis-sentinel://h/m":                                            {off, off},
		"rediss-sentinel://h/m":                                           {verified, verified},
		"rediss://:p@h/5?master=m&encoding=utf-8&ssl_cert_reqs=CERT_NONE": {skipped, skipped},
		"rediss-sentinel://h/m?sentinel_tls=false":                        {verified, off},
		"redis-sentinel://h/m?sentinel_tls=true":                          {off, verified},
		"redis-sentinel://h/m?sentinel_tls=1&skip_verify=1":               {off, skipped},
		"redis-cluster://h":                                               {off, off},
		"rediss-cluster://h,i":                                            {verified, off},
		"rediss+cluster://h?ssl_cert_reqs=none":                           {skipped, off},
	} {
		cfg, err := Parse(raw, false)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		r, err := New(cfg)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		for k, s := range []*tlsSource{r.tls, r.sentinelTLS} {
			got := off
			switch {
			case s != nil && s.base.InsecureSkipVerify:
				got = skipped
			case s != nil:
				got = verified
			}
			if got != want[k] {
				t.Errorf("%s: TLS %d is %s, want %s", raw, k, got, want[k])
			}
		}
	}
}
