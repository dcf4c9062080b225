using System.Reflection;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.ParameterServer.Tests;

/// <summary>What a push and a pull cost when nothing changes: vectors are not held twice, and nothing is left over.</summary>
public sealed class SteadyStateTests
{
    private const int ElementCount = 1 << 20, CallCount = 60;
    private static readonly VariableLayout s_layout = new([new StoredVariable("v", new Shape(ElementCount), IsState: false)]);

    [Fact]
    public async Task Pushes_and_pulls_allocate_little_whatever_their_size_and_no_native_memory()
    {
        Served served = await Served.StartAsync();
        CpuDevice host = (CpuDevice)typeof(ParameterStore).GetField("_host", BindingFlags.Instance | BindingFlags.NonPublic)!.GetValue(served.Store)!;
        using (IParameterSession session = await served.Remote().OpenAsync("a", s_layout))
        {
            float[] values = new float[ElementCount];
            Assert.True(await session.InitializeAsync(values));
            await CallAsync(session, values, 20);
            (long managed, long native) = (GC.GetTotalAllocatedBytes(precise: true), host.Pool.RentedByteCount);
            await CallAsync(session, values, CallCount);

            // Both sides are in this process. A vector has 4 MiB.
            Assert.InRange((GC.GetTotalAllocatedBytes(precise: true) - managed) / CallCount, 0, 128 * 1024);
            Assert.Equal(native, host.Pool.RentedByteCount);
        }
        await Served.Until(() => served.Host.ConnectionCount == 0, "the end of the connection");
        await served.DisposeAsync();
        Assert.Equal(0, host.Pool.RentedByteCount);
    }

    [Fact]
    public async Task A_host_leaves_no_thread_and_no_open_file()
    {
        await RoundAsync();
        int files = Directory.GetFiles("/proc/self/fd").Length;
        for (int i = 0; i < 5; i++) await RoundAsync();
        await Served.Until(() => StoreThreadCount() == 0, "the end of the stores' threads");
        Assert.InRange(Directory.GetFiles("/proc/self/fd").Length, 0, files + 4);

        static int StoreThreadCount() => Directory.GetDirectories("/proc/self/task").Count(task => NameOf(task).StartsWith("parameter store", StringComparison.Ordinal));

        static string NameOf(string task)
        {
            try
            {
                return File.ReadAllText(Path.Combine(task, "comm"));
            }
            catch (IOException)
            {
                // It ended after it was listed.
                return "";
            }
        }

        static async Task RoundAsync()
        {
            await using Served served = await Served.StartAsync();
            using IParameterSession session = await served.Remote().OpenAsync("a", Served.Layout);
            await session.InitializeAsync(new float[3]);
        }
    }

    private static async Task CallAsync(IParameterSession session, float[] values, int count)
    {
        for (int i = 0; i < count; i++)
        {
            long version = await session.PullAsync(values);
            Assert.Equal(PushOutcome.Applied, (await session.PushAsync(new GradientPush(-1, version, 1, values))).Outcome);
        }
    }
}
