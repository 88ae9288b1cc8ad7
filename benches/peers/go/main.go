// Go's crypto/x509 as a peer of the benches, driven over standard input as `benches::Outside` says.
//
// It takes the way of kube-controller-manager's signer: parse the request, check its signature, create the certificate. Go's
// CreateCertificate verifies what it signed.
package main

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type peer struct {
	certificate *x509.Certificate
	key         crypto.Signer
	requests    [][]byte
	usage       x509.KeyUsage
	notBefore   time.Time
	notAfter    time.Time
}

func open(directory string) (*peer, error) {
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(directory, name)) }
	block := func(name string) ([]byte, error) {
		text, err := read(name)
		if err != nil {
			return nil, err
		}
		found, _ := pem.Decode(text)
		if found == nil {
			return nil, fmt.Errorf("%s: no PEM", name)
		}
		return found.Bytes, nil
	}

	der, err := block("ca.crt")
	if err != nil {
		return nil, err
	}
	p := &peer{usage: x509.KeyUsageDigitalSignature}
	if p.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if der, err = block("ca.key"); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("ca.key: not a key that signs")
	}
	p.key = signer

	text, err := read("requests.pem")
	if err != nil {
		return nil, err
	}
	for {
		var found *pem.Block
		if found, text = pem.Decode(text); found == nil {
			break
		}
		p.requests = append(p.requests, found.Bytes)
	}
	if len(p.requests) == 0 {
		return nil, errors.New("requests.pem: no requests")
	}
	if text, err = read("key"); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(text, []byte("rsa")) {
		p.usage |= x509.KeyUsageKeyEncipherment
	}
	if text, err = read("now"); err != nil {
		return nil, err
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return nil, err
	}
	now := time.Unix(seconds, 0).UTC()
	p.notBefore, p.notAfter = now.Add(-5*time.Minute), now.Add(8760*time.Hour)
	return p, nil
}

func (p *peer) issue(number int) ([]byte, error) {
	request, err := x509.ParseCertificateRequest(p.requests[number%len(p.requests)])
	if err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, err
	}
	var octets [16]byte
	if _, err := rand.Read(octets[:]); err != nil {
		return nil, err
	}
	octets[0] = octets[0]&0x7f | 0x40
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(octets[:]),
		RawSubject:            request.RawSubject,
		DNSNames:              request.DNSNames,
		IPAddresses:           request.IPAddresses,
		EmailAddresses:        request.EmailAddresses,
		URIs:                  request.URIs,
		PublicKeyAlgorithm:    request.PublicKeyAlgorithm,
		PublicKey:             request.PublicKey,
		NotBefore:             p.notBefore,
		NotAfter:              p.notAfter,
		KeyUsage:              p.usage,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	// Go makes one for authorities only; the others write it.
	id := sha256.Sum256(request.RawSubjectPublicKeyInfo)
	template.SubjectKeyId = id[:20]
	return x509.CreateCertificate(rand.Reader, template, p.certificate, request.PublicKey, p.key)
}

// Of the processor, by all threads of this process: the garbage collector's are among them.
func processorTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

func (p *peer) answer(question string) (string, error) {
	words := strings.Fields(question)
	number := func(at int) (int, error) {
		if at >= len(words) {
			return 0, errors.New("a number is missing")
		}
		return strconv.Atoi(words[at])
	}
	switch {
	case len(words) > 0 && words[0] == "show":
		index, err := number(1)
		if err != nil {
			return "", err
		}
		der, err := p.issue(index)
		return hex.EncodeToString(der), err
	case len(words) > 0 && words[0] == "run":
		from, err := number(1)
		if err != nil {
			return "", err
		}
		times, err := number(2)
		if err != nil {
			return "", err
		}
		begin, err := processorTime()
		if err != nil {
			return "", err
		}
		for index := from; index < from+times; index++ {
			if _, err := p.issue(index); err != nil {
				return "", err
			}
		}
		end, err := processorTime()
		return strconv.FormatInt(int64(end-begin), 10), err
	}
	return "", errors.New("expected `show INDEX` or `run FROM TIMES`")
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: go-x509 DIRECTORY")
	}
	p, err := open(os.Args[1])
	if err != nil {
		return err
	}
	questions := bufio.NewScanner(os.Stdin)
	for questions.Scan() {
		answer, err := p.answer(questions.Text())
		if err != nil {
			return err
		}
		fmt.Println(answer)
	}
	return questions.Err()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
