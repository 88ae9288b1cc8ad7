// Command corpus writes requests as Go programs of Kubernetes make them, into the directory that it is given.
//
// The templates are those of the kubelet's certificate manager (client and serving) and of kubeadm's client
// certificates; each is made, as there, by crypto/x509.CreateCertificateRequest.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"log"
	"net"
	"os"
	"path/filepath"
)

func main() {
	kubelet := pkix.Name{CommonName: "system:node:node-1", Organization: []string{"system:nodes"}}
	write("kubelet-client", p256(), x509.CertificateRequest{Subject: kubelet})
	write("kubelet-serving", p256(), x509.CertificateRequest{
		Subject:     kubelet,
		DNSNames:    []string{"node-1", "node-1.example.com"},
		IPAddresses: []net.IP{net.ParseIP("10.0.0.1"), net.ParseIP("fd00::1")},
	})
	write("several-organizations", p256(), x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "admin", Organization: []string{"ops", "developers", "ops:on-call"}},
	})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(err)
	write("kubeadm-rsa", key, x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"kubeadm:cluster-admins"}},
	})
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(err)
	write("p384", p384, x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:kube-scheduler"}})
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	check(err)
	write("ed25519", ed, x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "webhook"},
		DNSNames: []string{"webhook.example.svc"},
	})
}

func p256() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	return key
}

func write(name string, key crypto.Signer, template x509.CertificateRequest) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	check(err)
	check(os.WriteFile(filepath.Join(os.Args[1], "go-"+name+".der"), der, 0o644))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
