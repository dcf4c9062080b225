using System.Net;
using System.Net.Sockets;
using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

/// <summary>A store and its network server on a free port of this machine. One parameter of two elements and one state, SGD with rate 1: values go down by what is pushed.</summary>
internal sealed class Served : IAsyncDisposable
{
    internal static readonly VariableLayout Layout = new([new StoredVariable("fc.weight", new Shape(2), IsState: false), new StoredVariable("fc.mean", new Shape(1), IsState: true)]);
    internal static readonly JobSecret Secret = JobSecret.Create();

    private Served(ParameterStore store, ParameterServerHost host) => (Store, Host) = (store, host);

    internal ParameterStore Store { get; }

    internal ParameterServerHost Host { get; }

    internal static async Task<Served> StartAsync(ParameterStoreOptions? store = null, ParameterServerHostOptions? host = null, int port = 0)
    {
        ParameterStore made = new(parameters => new Sgd(parameters, 0), store);
        host ??= new ParameterServerHostOptions { Secret = Secret };
        return new Served(made, await ParameterServerHost.StartAsync(made, host with { Address = IPAddress.Loopback, Port = port }));
    }

    internal RemoteParameterServer Remote(int? port = null, RemoteParameterServerOptions? options = null) => new("127.0.0.1", port ?? Host.Port, options ?? Options());

    internal static RemoteParameterServerOptions Options() => new() { Secret = Secret, ReconnectTimeout = TimeSpan.FromSeconds(20), SilenceTimeout = TimeSpan.FromSeconds(3), ConnectTimeout = TimeSpan.FromSeconds(5), FirstPause = TimeSpan.FromMilliseconds(10), LongestPause = TimeSpan.FromMilliseconds(200) };

    internal static GradientPush Push(long step, long baseVersion, params float[] values) => new(step, baseVersion, 1, values.Length == 1 ? [values[0], values[0], values[0]] : values);

    internal async Task<Socket> ConnectAsync()
    {
        Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, Host.Port));
        return socket;
    }

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        Store.Dispose();
    }

    internal static async Task Until(Func<bool> condition, string what)
    {
        for (int tries = 0; !condition(); tries++)
        {
            Assert.True(tries < 2000, $"{what} did not come in 20 s");
            await Task.Delay(10);
        }
    }
}
