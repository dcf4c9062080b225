using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using DistTrain.RemoteStorage;

namespace DistTrain.Ingest.Tests;

public sealed class HttpsTests : HttpReading
{
    [Fact]
    public async Task A_file_is_read_from_a_server_whose_certificate_is_trusted_and_from_no_other()
    {
        using X509Certificate2 certificate = SelfSigned();
        await using StorageServer server = await StorageServer.StartAsync(certificate);
        StoredFile file = new(Bytes(123_457));
        string address = server.Put("data.bin", file);
        using SocketsHttpHandler handler = new() { UseProxy = false };
        handler.SslOptions.RemoteCertificateValidationCallback = (_, shown, _, _) => shown?.GetCertHashString() == certificate.GetCertHashString();
        using HttpClient trusting = new(handler) { Timeout = Timeout.InfiniteTimeSpan };
        using HttpByteSource trusted = new(address, new HttpSourceOptions { PartByteCount = 10_000, Client = trusting });

        Assert.StartsWith("https://127.0.0.1", address, StringComparison.Ordinal);
        Assert.Equal(file.Content, ReadAll(trusted));
        using HttpByteSource refused = new(address, Quick);
        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => refused.Read(0, new byte[1], default));
        Assert.Contains("no secure connection", failure.Message, StringComparison.Ordinal);
        Assert.Equal(1, failure.AttemptCount);
    }

    private static X509Certificate2 SelfSigned()
    {
        using RSA key = RSA.Create(2048);
        CertificateRequest request = new("CN=127.0.0.1", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using X509Certificate2 made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        // A server needs the key in the certificate, not beside it.
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
    }
}
