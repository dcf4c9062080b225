using System.Net;
using System.Net.Sockets;
using System.Text;

namespace DistTrain.Ingest.Tests;

/// <summary>Whatever comes over the wire: the bytes, or a clear error; no hang, no other exception.</summary>
public sealed class HttpNonsenseTests : HttpReading
{
    private static readonly byte[] s_content = Encoding.ASCII.GetBytes("twelve bytes");
    private static readonly byte[] s_answer = [.. Encoding.ASCII.GetBytes("HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Length: 12\r\nContent-Range: bytes 0-11/12\r\nETag: \"1\"\r\n\r\n"), .. s_content];

    [Fact]
    public void An_answer_cut_short_at_any_byte_is_an_error_after_the_attempts()
    {
        for (int length = 0; length < s_answer.Length; length++)
        {
            RemoteReadException failure = Assert.Throws<RemoteReadException>(() => ReadFrom(s_answer[..length]));
            // Once bytes have come, the rest is asked for, and the same answer again is no answer to that.
            Assert.Equal(length <= s_answer.Length - s_content.Length ? 3 : 2, failure.AttemptCount);
        }
        Assert.Equal(s_content, ReadFrom(s_answer));
    }

    [Fact]
    public void An_answer_with_any_byte_damaged_is_the_content_or_an_error()
    {
        int header = s_answer.Length - s_content.Length;
        for (int at = 0; at < header; at++)
        {
            byte[] damaged = [.. s_answer];
            damaged[at] ^= 0x15;
            try
            {
                Assert.True(s_content.AsSpan().StartsWith(ReadFrom(damaged)), $"byte {at} damaged");
            }
            catch (RemoteReadException failure)
            {
                Assert.StartsWith("http://127.0.0.1:", failure.Message, StringComparison.Ordinal);
            }
        }
    }

    // All that a server which always answers so gives.
    private static byte[] ReadFrom(byte[] answer)
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        Thread thread = new(() => Serve(listener, answer)) { IsBackground = true };
        thread.Start();
        HttpSourceOptions options = QuickWith(firstByte: TimeSpan.FromMilliseconds(500), idle: TimeSpan.FromMilliseconds(500));
        using HttpByteSource source = new($"http://{listener.LocalEndpoint}/a", options);
        try
        {
            return ReadAll(source);
        }
        finally
        {
            listener.Stop();
            thread.Join();
        }
    }

    private static void Serve(TcpListener listener, byte[] answer)
    {
        byte[] request = new byte[4096];
        try
        {
            while (true)
            {
                using Socket connection = listener.AcceptSocket();
                connection.ReceiveTimeout = 300;
                int read = connection.Receive(request);
                if (read > 0) connection.Send(answer);
                connection.Shutdown(SocketShutdown.Send);
                // Closed by the other side first, so that what was sent arrives.
                while (connection.Receive(request) > 0)
                {
                    // Nothing more is answered.
                }
            }
        }
        catch (Exception e) when (e is SocketException or InvalidOperationException)
        {
            // The listener was stopped, or a connection reset.
        }
    }
}
