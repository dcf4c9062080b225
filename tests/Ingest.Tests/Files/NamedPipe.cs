using System.Diagnostics;

namespace DistTrain.Ingest.Tests;

/// <summary>A named pipe with somebody who writes a text to it, once.</summary>
internal sealed class NamedPipe : IDisposable
{
    private readonly Task _writing;

    private NamedPipe(string path, string text)
    {
        Path = path;
        // Opening waits for a reader, as opening for reading waits for a writer.
        _writing = Task.Factory.StartNew(() => Write(path, text), TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    public string Path { get; }

    public static async Task<NamedPipe> CreateAsync(string path, string text)
    {
        using Process make = Process.Start("mkfifo", [path]);
        await make.WaitForExitAsync(TestContext.Current.CancellationToken);
        return new NamedPipe(path, text);
    }

    /// <summary>What a function gives, which must not wait for ever.</summary>
    public static Task<T> Finish<T>(Func<T> function) =>
        Task.Factory.StartNew(function, TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default)
            .WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

    public void Dispose() => Assert.True(_writing.Wait(TimeSpan.FromSeconds(30)), "nobody opened the pipe");

    private static void Write(string path, string text)
    {
        try
        {
            File.WriteAllText(path, text);
        }
        catch (IOException)
        {
            // Who read has gone: some tests want that.
        }
    }
}
