package cmd

import "github.com/spf13/pflag"

// certificateFiles are the flags for the certificate of a command that serves https.
type certificateFiles struct{ tlsCert, tlsKey string }

func (o *certificateFiles) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.tlsCert, "tls-cert", "", "serve https with the certificate in `FILE`")
	f.StringVar(&o.tlsKey, "tls-key", "", "read the certificate's private key from `FILE`")
}

func (o *certificateFiles) check() error {
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return usage("pass both", "--tls-cert and --tls-key must be used together")
	}
	return nil
}

// read returns the content of both files, or nil if they are not given.
func (o *certificateFiles) read(s *streams) (certificate, key []byte, err error) {
	if o.tlsCert == "" {
		return nil, nil, nil
	}
	if certificate, err = s.input(o.tlsCert, "tls-cert"); err == nil {
		key, err = s.input(o.tlsKey, "tls-key")
	}
	return certificate, key, err
}
